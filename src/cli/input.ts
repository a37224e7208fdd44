import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { InputError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';

const MAX_INPUT_BYTES = 256 * 1024;

/** A secret from a file, or from standard input: never from an argument, which others can see and histories keep. */
export async function readSecret(file: string | undefined, usage: string): Promise<Secret<string>> {
  if (file !== undefined) return new Secret(await readText(file));
  if (process.stdin.isTTY) {
    throw new InputError(
      'no_credential',
      'The credential comes from standard input, so that it is in no argument and no history.',
      usage,
    );
  }
  return new Secret((await readInput(MAX_INPUT_BYTES)).toString('utf8'));
}

/** Standard input to its end. */
export async function readInput(maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin) {
    size += chunk.length;
    if (size > maxBytes) throw new InputError('credential_too_large', 'Standard input is too long for this.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export async function readText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: { code?: string }) => {
    throw new InputError('unreadable_file', `The file ${file} cannot be read (${error.code ?? 'unknown'}).`);
  });
}

/** Asks at the terminal without showing what is typed; elsewhere it is the first line of standard input. */
export async function askSecret(question: string): Promise<Secret<string>> {
  if (!process.stdin.isTTY) {
    const [line = ''] = (await readInput(MAX_INPUT_BYTES)).toString('utf8').split(/\r?\n/);
    return new Secret(line.trim());
  }
  process.stderr.write(question);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    return new Secret((await terminal.question('')).trim());
  } finally {
    terminal.close();
    process.stderr.write('\n');
  }
}

/** Asks at the terminal for what is no secret. */
export async function ask(question: string): Promise<string> {
  if (!process.stdin.isTTY) return '';
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(question)).trim();
  } finally {
    terminal.close();
  }
}

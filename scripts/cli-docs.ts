// Writes docs/cli.md, which is what the commands say of themselves: node scripts/cli-docs.ts
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const BIN = fileURLToPath(new URL('../bin/lockgate', import.meta.url));
const PAGE = fileURLToPath(new URL('../docs/cli.md', import.meta.url));

/** Each command with its help, those below it after it. */
async function helpOf(words: readonly string[]): Promise<{ words: readonly string[]; help: string }[]> {
  const { stdout } = await run(BIN, [...words, '--help'], {
    env: { PATH: process.env.PATH ?? '', COLUMNS: '120', NO_COLOR: '1' },
  });
  const list = /^Commands:\n([\s\S]*)/m.exec(stdout)?.[1] ?? '';
  const below = [...list.matchAll(/^ {2}([a-z-]+)/gm)]
    .map((found) => found[1] as string)
    .filter((name) => name !== 'help');
  const parts = await Promise.all(below.map((name) => helpOf([...words, name])));
  return [{ words, help: stdout.trim() }, ...parts.flat()];
}

/** The page about the command line. */
export async function cliDocs(): Promise<string> {
  const [, ...commands] = await helpOf([]);
  const parts = commands.map(
    ({ words, help }) =>
      `${words.length === 1 ? '##' : '###'} lockgate ${words.join(' ')}\n\n\`\`\`\n${help}\n\`\`\`\n`,
  );
  return `# The command line

What each command says with \`--help\`. All of them take \`--json\`, and then print JSON and nothing else on standard output. With
\`LOCKGATE_URL\` and \`LOCKGATE_TOKEN\` the service there does the work; without, this process does. Values of secrets come from
standard input or a file, never from arguments. Exit codes: [Configuration](configuration.md#exit-codes).

${parts.join('\n')}`;
}

if (import.meta.main) await writeFile(PAGE, await cliDocs());

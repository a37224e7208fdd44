import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  BlobSASPermissions,
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { TestCertificate } from './tls.ts';

const ACCOUNT = 'lockgatetest';

/** Microsoft's own emulator of Blob Storage, which checks signatures, rights and times; with an account made at run time. */
export class Azurite implements AsyncDisposable {
  readonly account = ACCOUNT;
  readonly accountKey: string;
  readonly endpoint: string;
  readonly service: BlobServiceClient;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, origin: string, accountKey: string, folder: string) {
    this.#child = child;
    this.#folder = folder;
    this.accountKey = accountKey;
    this.endpoint = `${origin}/${ACCOUNT}`;
    this.service = new BlobServiceClient(this.endpoint, this.#key);
  }

  /** With a certificate it speaks HTTPS and takes tokens of Entra ID, whose claims but not whose signatures it checks. */
  static async start(certificate?: TestCertificate): Promise<Azurite> {
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-azurite-'));
    const accountKey = randomBytes(64).toString('base64');
    const more: string[] = [];
    if (certificate) {
      await writeFile(join(folder, 'cert.pem'), certificate.cert);
      await writeFile(join(folder, 'key.pem'), certificate.key);
      more.push('--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem'), '--oauth', 'basic');
    }
    const program = join(
      dirname(createRequire(import.meta.url).resolve('azurite/package.json')),
      'dist/src/blob/main.js',
    );
    const words = [
      program,
      '--blobPort',
      '0',
      '--silent',
      '--disableTelemetry',
      '--inMemoryPersistence',
      '--skipApiVersionCheck',
    ];
    const child = spawn(process.execPath, [...words, ...more], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, AZURITE_ACCOUNTS: `${ACCOUNT}:${accountKey}` },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const origin = await new Promise<string>((resolve, reject) => {
      let said = '';
      child.once('exit', (code) => reject(new Error(`azurite ended with ${code}: ${said}`)));
      child.stdout?.on('data', (chunk) => {
        said += chunk;
        const found = /successfully listens on (\S+)/.exec(said);
        if (found) resolve(found[1] as string);
      });
    });
    return new Azurite(child, origin, accountKey, folder);
  }

  get #key(): StorageSharedKeyCredential {
    return new StorageSharedKeyCredential(ACCOUNT, this.accountKey);
  }

  /** A signature for a container, or for one blob in it. */
  sas(container: string, rights: string, options: { blob?: string; expiresInMs?: number } = {}): string {
    const { blob, expiresInMs = 30 * 24 * 3_600_000 } = options;
    return generateBlobSASQueryParameters(
      {
        containerName: container,
        ...(blob ? { blobName: blob } : {}),
        permissions: blob ? BlobSASPermissions.parse(rights) : ContainerSASPermissions.parse(rights),
        startsOn: new Date(Date.now() - 3_600_000),
        expiresOn: new Date(Date.now() + expiresInMs),
      },
      this.#key,
    ).toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
    await rm(this.#folder, { recursive: true, force: true });
  }
}

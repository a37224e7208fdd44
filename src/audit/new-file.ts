import { randomUUID } from 'node:crypto';
import { link, rm, writeFile } from 'node:fs/promises';

/**
 * Makes a file that has its text from the first moment on: of several processes that make it at once, one does. False: it was there. With
 * `flush` its text is on the disk by then.
 */
export async function createNew(path: string, text: string, mode: number, flush: boolean): Promise<boolean> {
  const draft = `${path}.${randomUUID()}.new`;
  await writeFile(draft, text, { mode, flush });
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

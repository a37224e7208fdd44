/**
 * What `work` resolves to, or a rejection with `late()` when it has not ended after so many milliseconds. Work that is late goes on, and
 * what comes of it is nobody's; the wait alone does not keep the process alive.
 */
export async function inTime<T>(work: Promise<T>, ms: number, late: () => Error = timeout): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms).unref();
  });
  try {
    return await Promise.race([work, expiry]);
  } finally {
    clearTimeout(timer);
  }
}

function timeout(): Error {
  return new Error('timeout');
}

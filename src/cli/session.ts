import { type Config, readConfig } from '../config.ts';
import { type App, openApp } from '../main.ts';

/** Opens the app for one command, and closes it whatever happens. */
export async function withApp<T>(
  work: (app: App) => Promise<T>,
  logLevel?: NonNullable<Config['logLevel']>,
): Promise<T> {
  await using app = openApp(readConfig(), logLevel);
  return await work(app);
}

// Puts the migrations beside the compiled code, which reads them from there.
import { cp } from 'node:fs/promises';

await cp('src/db/migrations', 'dist/src/db/migrations', { recursive: true });

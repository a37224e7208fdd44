// Puts the migrations beside the compiled code, which reads them from there.
import { cp } from 'node:fs/promises';

for (const room of ['db', 'securestore'])
  await cp(`src/${room}/migrations`, `dist/src/${room}/migrations`, { recursive: true });

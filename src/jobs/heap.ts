import { setFlagsFromString } from 'node:v8';

/**
 * On a machine with much memory V8 lets garbage pile up to several times what is in use; whoever syncs for long should not. Set when a run
 * begins and not on the command line: with such an option there, V8 takes all code that comes compiled with Node for another version's and
 * compiles it again, which is a tenth of a start.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=100');
}

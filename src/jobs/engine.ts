import { setFlagsFromString } from 'node:v8';
import { isMainThread } from 'node:worker_threads';

/**
 * V8 as it suits who syncs. On a machine with much memory it lets garbage pile up to several times what is in use; whoever syncs for long should not.
 * And it gives what was called 3,000 times to its best compiler, on another core: here that one has work to do, and a run of some seconds ends
 * before it is paid back. Set when a run begins and not on the command line: with such an option there, V8 takes all code that comes compiled
 * with Node for another version's and compiles it again, which is a tenth of a start.
 */
export function setUpEngine(): void {
  // What helps in threads has what its process was told.
  if (!isMainThread) return;
  setFlagsFromString('--heap-growing-percent=100');
  setFlagsFromString('--invocation-count-for-turbofan=40000');
}

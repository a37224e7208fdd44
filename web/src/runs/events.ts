import { useEffect, useState } from 'react';
import { type Answer, queries, request } from '../api.ts';

export type LiveRun = Omit<Answer<'runs.get'>, 'failures'> & {
  readonly bytesPerSecond: number;
  readonly secondsLeft: number | null;
};

const AGAIN_MS = 2000;

/** What a run is at, as the service tells it, until it ends. */
export function useLiveRun(id: string, enabled: boolean): LiveRun | null {
  const [run, setRun] = useState<LiveRun | null>(null);
  useEffect(() => {
    if (!enabled) return;
    const stop = new AbortController();
    void follow(id, setRun, stop.signal);
    return () => stop.abort();
  }, [id, enabled]);
  return run;
}

/** Connects again when the connection is lost: to another process of the service, perhaps. */
async function follow(id: string, onRun: (run: LiveRun) => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const { event, data } of eventsOf(`/v1/runs/${id}/events`, signal)) {
        if (event === 'run') onRun(JSON.parse(data));
        if (event === 'end') return void (await queries.invalidateQueries());
      }
    } catch {
      // The next one may get through.
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** https://html.spec.whatwg.org/multipage/server-sent-events.html, as far as the service uses it. */
async function* eventsOf(path: string, signal: AbortSignal): AsyncIterable<{ event: string; data: string }> {
  const response = await request(path, { method: 'GET', headers: { accept: 'text/event-stream' }, signal });
  if (!response.ok || !response.body) throw new Error('no events');
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (event && data) yield { event, data };
    }
  }
}

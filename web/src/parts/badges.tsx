import { Badge } from '@mantine/core';
import type { Run, Source } from '../answers.ts';

const RUN: Readonly<Record<Run['state'], readonly [color: string, words: string]>> = {
  queued: ['gray', 'queued'],
  running: ['blue', 'running'],
  needs_approval: ['orange', 'needs approval'],
  completed: ['teal', 'completed'],
  failed: ['red', 'failed'],
  cancelled: ['gray', 'cancelled'],
  superseded: ['gray', 'superseded'],
};

/** Colour and words: never colour alone. */
function State({ color, children }: { color: string; children: string }) {
  return (
    <Badge variant="dot" color={color} tt="none" fw={500}>
      {children}
    </Badge>
  );
}

export function RunState({ state }: { state: Run['state'] }) {
  const [color, words] = RUN[state];
  return <State color={color}>{words}</State>;
}

/** How it stands with a source. */
export function SourceState({ source }: { source: Source }) {
  if (source.pausedAt) return <State color="orange">paused</State>;
  if (source.failures > 0) return <State color="red">failing</State>;
  if (!source.lastCompletedAt) return <State color="gray">never synced</State>;
  return source.autoSync ? <State color="teal">auto-sync</State> : <State color="blue">on demand</State>;
}

const TYPES: Readonly<Record<string, string>> = {
  s3: 'Amazon S3',
  gcs: 'Google Cloud Storage',
  azure: 'Azure Blob Storage',
  sharepoint: 'SharePoint',
};

export function typeName(type: string): string {
  return TYPES[type] ?? type;
}

const SOON_MS = 14 * 86_400_000;

/** When a credential ends, loud when that is soon. */
export function Ends({ at, words }: { at: string | null; words: string }) {
  if (!at) return <span>no end</span>;
  const left = Date.parse(at) - Date.now();
  if (left < 0) return <State color="red">{`ended ${words}`}</State>;
  if (left < SOON_MS) return <State color="orange">{`ends ${words}`}</State>;
  return <span>{words}</span>;
}

/** What befalls a world, by name: each is counted where it takes effect, as much of what is drawn finds nothing to befall. */
export const FAULTS = [
  'drop',
  'duplicate',
  'delay',
  'reorder',
  'cut-after-request',
  'cut-before-answer',
  'cut-connections',
  'crash',
  'crash-sweep',
  'crash-server',
  'die-after-creation',
  'die-after-external-commit',
  'die-after-key-binding',
  'die-after-commit',
  'die-after-emulation-commit',
  'clock',
  'full-disk',
  'two-tabs',
  'clone',
  'restore',
  'conspire',
  'lie-replay',
  'lie-withhold',
  'lie-reorder',
  'lie-corrupt',
  'lie-fork',
  'lie-fork-end',
  'lie-answer-replay',
  'lie-answer-other',
  'lie-answer-corrupt',
  'lie-refused',
  'lie-accepted',
] as const;

export type Fault = (typeof FAULTS)[number];
export type Faults = Readonly<Record<Fault, number>>;

export function noFaults(): Record<Fault, number> {
  return Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<Fault, number>;
}

export function addFaults(sum: Record<Fault, number>, more: Faults): void {
  for (const fault of FAULTS) sum[fault] += more[fault];
}

export function allFaults(faults: Faults): number {
  return Object.values(faults).reduce((sum, count) => sum + count, 0);
}

import { vi } from 'vitest';
import { rounds } from './rounds.ts';

/** Long enough for anything that a test waits for on a busy machine; of 200 conversations everything takes longer. ms */
export const PATIENCE = rounds({ test: 60_000, soak: 300_000 });

/** Waits until `look`, which is tried every `interval` ms, throws no more. @throws what it threw last */
export const eventually = <Value>(look: () => Value | Promise<Value>, interval = 50): Promise<Value> =>
  vi.waitFor(look, { timeout: PATIENCE, interval });

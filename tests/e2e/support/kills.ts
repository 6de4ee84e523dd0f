import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, type Page } from '@playwright/test';
import { rounds } from '../../support/rounds.ts';
import { callWorker } from './bridge.ts';

/** Kills of a browser while it sweeps, and where in the sweep they landed. */

/** Before there was a new root, while old and new were both there whole or in part, and when the old one was gone. */
export type Moment = 'before' | 'between' | 'after';

/** Of many kills this part at least is to land where something could go wrong. */
const WANTED = 1 / 3;
/** So many are killed without waiting for the new root. */
const EARLY = 1 / 5;
/** A sweep that has not come so far by then is left alone, ms. */
const LIMIT = 10_000;

export class Kills {
  readonly #landed: Record<Moment, number> = { before: 0, between: 0, after: 0 };

  at(moment: Moment): void {
    this.#landed[moment] += 1;
  }

  /** Says where they landed; of a long round that must be between often enough for it to mean something. */
  report(): void {
    const { before, between, after } = this.#landed;
    console.log(`killed before there was a new root: ${before}, between: ${between}, after the old one was gone: ${after}`);
    if (rounds({ test: 0, soak: 1 }) === 1) expect(between).toBeGreaterThanOrEqual(WANTED * (before + between + after));
  }
}

/** Folders of Storage Buckets in a profile: a root has one of its own. */
export const bucketsIn = (profile: string): string[] => numbersIn(join(profile, 'Default', 'WebStorage'));

/** Files of the origin private file system in a profile: a root is two. */
export const rootFilesIn = (profile: string): string[] => numbersIn(join(profile, 'Default', 'File System', '000', 't', '00'));

function numbersIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+$/.test(name));
  } catch {
    return []; // the browser makes it when it needs it
  }
}

/** How long old and new root are both there during a sweep on this device, on as busy a machine. The first one takes longer. ms */
export async function timeOfRotation(page: Page, look: () => string[]): Promise<number> {
  await callWorker(page, 'sweep', {});
  const before = look();
  const swept = callWorker(page, 'sweep', {});
  await until(() => look().some((name) => !before.includes(name)));
  const begun = Date.now();
  await until(() => !look().some((name) => before.includes(name)));
  const took = Date.now() - begun;
  await swept;
  return took;
}

/** Begins a sweep, and resolves somewhere in it: mostly at a random part of the time in which there are two roots. */
export async function beginSweep(page: Page, look: () => string[], rotation: number): Promise<void> {
  const before = look();
  callWorker(page, 'sweep', {}).catch(() => undefined);
  if (Math.random() > EARLY) await until(() => look().some((name) => !before.includes(name)));
  // What ends the browser takes its time too: the later moments come by themselves.
  await pause((Math.random() * rotation) / 2);
}

async function until(holds: () => boolean): Promise<void> {
  for (const limit = Date.now() + LIMIT; !holds() && Date.now() < limit;) await new Promise((resolve) => setImmediate(resolve));
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

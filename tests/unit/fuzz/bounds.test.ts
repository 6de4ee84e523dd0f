import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';
import { withinBounds } from '../../fuzz/bounds.ts';

// The fuzzing's own bounds, with small ones in their place.

const MEMORY = 8 * 1024 * 1024;
const SMALL = { time: 50, memory: MEMORY };

function busy(ms: number): string {
  const end = performance.now() + ms;
  while (performance.now() < end);
  return 'done';
}

describe('a fuzzed case', () => {
  it('that is over in time counts as what it gives', async () => {
    expect(await withinBounds(() => 'now')).toBe('now');
    expect(await withinBounds(() => Promise.resolve('soon'))).toBe('soon');
    await expect(withinBounds(() => Promise.reject(new Error('its own')))).rejects.toThrow('its own');
  });

  it('that keeps the processor for too long is found', async () => {
    await expect(withinBounds(() => busy(2 * SMALL.time), SMALL)).rejects.toThrow('was not over after 50 ms');
  });

  it('that waits for what never comes is found', async () => {
    await expect(withinBounds(() => new Promise<string>(() => undefined), SMALL)).rejects.toThrow('was not over after 50 ms');
  });

  it('that was slow once is played again, and only then counts', async () => {
    const time = 1_000;
    let played = 0;
    const slowOnce = (): string => (played++ === 0 ? busy(time + 100) : 'quick');
    expect(await withinBounds(slowOnce, { ...SMALL, time })).toBe('quick');
    expect(played).toBe(2);
  });

  it('that makes much of little is found, be it objects or bytes', async () => {
    const patient = { ...SMALL, time: 60_000 };
    await expect(withinBounds(() => Array.from({ length: MEMORY / 8 }, (_, i) => [i]), patient)).rejects.toThrow('of memory');
    await expect(withinBounds(() => new Uint8Array(2 * MEMORY).fill(1), patient)).rejects.toThrow('of memory');
    await expect(withinBounds(async () => Buffer.alloc(2 * MEMORY, 1), patient)).rejects.toThrow('of memory');
    expect(await withinBounds(() => new Uint8Array(1000).length, patient)).toBe(1000);
  });

  it('that never ends ends its process, which says what case it was', () => {
    const program = `
      import { Watchdog } from './tests/fuzz/watchdog.ts';
      const watchdog = new Watchdog(500);
      watchdog.begins('harmless');
      watchdog.ends();
      await new Promise((resolve) => setTimeout(resolve, 1_500)); // between two cases nothing is to end
      console.log('alive');
      watchdog.begins('the endless one');
      for (;;);
    `;
    const given = ['--import', 'tsx', '--input-type=module', '-e', program];
    const ended = spawnSync(process.execPath, given, { cwd: ROOT, timeout: 60_000, encoding: 'utf8' });
    expect([ended.stdout, ended.stderr, ended.signal]).toEqual(['alive\n', 'the endless one does not end\n', 'SIGKILL']);
  });
});

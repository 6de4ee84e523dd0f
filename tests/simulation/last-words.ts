import type { Device } from './device.ts';
import type { LastWords } from './schedule.ts';

/** A request by what it looks like on the wire. */
const LAST_WORDS: Readonly<Record<LastWords, (path: string, body: string) => boolean>> = {
  creation: (_path, body) => body.includes('"kind":"creation"'),
  'external-commit': (path, body) => path === '/v1/recovery' || (path.endsWith('/messages') && PUBLIC_MESSAGE.test(body)),
  'key-binding': (path) => path === '/v1/account/key',
  commit: (_path, body) => body.includes('"kind":"commit"') && !body.includes('"fence":null'),
  'emulation-commit': (_path, body) => body.includes('"kind":"commit"') && body.includes('"fence":null'),
};
/** How a PublicMessage of MLS 1.0 begins, in base64url: version 1, wire format 1. */
const PUBLIC_MESSAGE = /"message":"AAEAA[Q-f]/;

/** The device's worker dies when the server has taken the next such request. */
export function dieAfterNext(device: Device, what: LastWords): void {
  device.befall(0, { fault: 'die', after: what }, LAST_WORDS[what]);
}

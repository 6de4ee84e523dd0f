import { isIP } from 'node:net';

/** More proxies in a row than any setup has: a larger number is a mistake. */
const MAX_PROXIES = 8;

/**
 * How many proxies stand between clients and this server, from the setting `TRUST_PROXY`: a number, or `none`.
 * @throws Error for anything else: a guess would count the wrong addresses
 */
export function readTrustProxy(setting: string | undefined): number {
  if (setting === undefined || setting === '' || setting === 'none') return 0;
  const proxies = /^\d$/.test(setting) ? Number(setting) : Number.NaN;
  if (!(proxies <= MAX_PROXIES)) throw new Error(`TRUST_PROXY must be "none" or a number of proxies up to ${MAX_PROXIES}`);
  return proxies;
}

/**
 * Whom the address limits count. Each proxy appends to `X-Forwarded-For` the address that it was reached from, so the
 * last `proxies` entries are from our own, and the first of these is the client as the outermost of them saw it. What
 * stands further left is the client's to write. Where that entry is missing or no address, the request did not
 * come through all of them: then the other end of the connection counts.
 *
 * @param connection Address of the connection's other end
 * @param forwarded The header, repeated ones joined by commas; undefined when there is none
 * @param proxies Number of trusted proxies; 0 ignores the header
 */
export function clientAddress(connection: string, forwarded: string | undefined, proxies: number): string {
  if (proxies === 0 || forwarded === undefined) return connection;
  return addressIn(forwarded.split(',').at(-proxies)) ?? connection;
}

/** The address of one entry; some proxies write a port after it. */
function addressIn(entry: string | undefined): string | undefined {
  const text = entry?.trim() ?? '';
  const address = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  return isIP(address) === 0 ? undefined : address.toLowerCase();
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium, type BrowserContext } from '@playwright/test';
import { findOrInstallChromium } from '../../../scripts/chromium.ts';

/** No sandbox for root in a container; no calls home, which a closed network answers with hundreds of refusals. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** How long Chromium may take to its first answer, ms. */
const START_LIMIT = 20_000;

export interface BrowserOptions {
  readonly colorScheme?: 'light' | 'dark';
  readonly viewport?: { readonly width: number; readonly height: number };
  /** Tabs that are not in front are hidden, and can be frozen, as in a person's browser; Playwright's own tabs are all visible. */
  readonly hidesTabs?: boolean;
}

export interface RunningBrowser {
  readonly context: BrowserContext;
  close(): Promise<void>;
}

/** Starts Chromium on a profile folder. */
export function launchBrowser(profile: string, { hidesTabs = false, ...options }: BrowserOptions): Promise<RunningBrowser> {
  return hidesTabs ? launchPlain(profile) : launchEmulated(profile, options);
}

async function launchEmulated(profile: string, options: Omit<BrowserOptions, 'hidesTabs'>): Promise<RunningBrowser> {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: findOrInstallChromium(),
    headless: true,
    args: ARGUMENTS,
    locale: 'en-GB',
    viewport: { width: 1000, height: 720 },
    ...options,
  });
  return { context, close: () => context.close() };
}

/** Without the emulation of focus that Playwright gives every tab of a browser that it starts itself. */
async function launchPlain(profile: string): Promise<RunningBrowser> {
  const folder = [`--user-data-dir=${profile}`, '--remote-debugging-port=0', '--lang=en-GB', '--window-size=1000,720'];
  const child = spawn(findOrInstallChromium(), ['--headless', ...ARGUMENTS, ...folder, 'about:blank'], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const browser = await chromium.connectOverCDP(`http://127.0.0.1:${await debuggingPort(profile)}`, { noDefaults: true });
  const [context] = browser.contexts();
  if (context === undefined) throw new Error('no browser context');
  const close = async (): Promise<void> => {
    await browser.close();
    child.kill();
    await ended;
  };
  return { context, close };
}

/** Chromium writes it into the profile when it listens. */
async function debuggingPort(profile: string): Promise<string> {
  for (const limit = Date.now() + START_LIMIT; Date.now() < limit;) {
    const [port] = (await readFile(join(profile, 'DevToolsActivePort'), 'utf8').catch(() => '')).split('\n');
    if (port !== undefined && port !== '') return port;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('Chromium does not start');
}

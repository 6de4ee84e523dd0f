import { findOrInstallChromium } from '../../../scripts/chromium.ts';
import { ensureBuilt } from '../../../scripts/build/build.ts';

/** What every test needs: the production build of the present sources, and a browser. */
export default async function globalSetup(): Promise<void> {
  findOrInstallChromium();
  await ensureBuilt();
}

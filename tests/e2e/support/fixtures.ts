import { test as base } from '@playwright/test';
import type { BrowserOptions } from './browser.ts';
import { openDevice, type Device } from './device.ts';
import { disposeServer, startServer, type ServerProcess } from './server.ts';

export { expect } from '@playwright/test';
export type { Device, ServerProcess };

interface Fixtures {
  /** The built server on an empty store. */
  readonly server: ServerProcess;
  /** Opens a device: a browser profile of its own with the app in its first tab. */
  readonly device: (name: string, options?: BrowserOptions) => Promise<Device>;
}

/** Which kind of delivery service the server is (`DELIVERY`). */
export interface DeliveryOption {
  readonly delivery: 'strong' | 'eventual';
}

export const test = base.extend<Fixtures & DeliveryOption>({
  delivery: ['strong', { option: true }],

  server: async ({ delivery }, use, info) => {
    const server = await startServer(delivery);
    await use(server);
    if (info.status !== info.expectedStatus) await info.attach('server', { body: server.output() });
    await disposeServer(server);
  },
  device: async ({ server }, use, info) => {
    const devices: Device[] = [];
    await use(async (name, options) => {
      const device = await openDevice(name, server.port, options);
      devices.push(device);
      return device;
    });
    const failed = info.status !== info.expectedStatus;
    for (const device of devices) {
      if (failed) await attachScreens(device, info);
      await device.dispose();
    }
  },
});

/** A picture of every tab of a device, for the report of a failed test. */
async function attachScreens(device: Device, info: Pick<ReturnType<typeof base.info>, 'attach'>): Promise<void> {
  for (const [index, page] of device.context.pages().entries()) {
    const picture = await page.screenshot({ timeout: 5_000 }).catch(() => undefined);
    if (picture !== undefined) await info.attach(`${device.name}, tab ${index}`, { body: picture, contentType: 'image/png' });
  }
}

import { defineConfig } from '@playwright/test';
import type { DeliveryOption } from './tests/e2e/support/fixtures.ts';

// Chromium itself is started by tests/e2e/support: a device is a browser profile on disk, not an incognito window.
export default defineConfig<DeliveryOption>({
  testDir: 'tests/e2e',
  testMatch: '**/*.spec.ts',
  globalSetup: './tests/e2e/support/global-setup.ts',
  outputDir: 'test-results',
  // Every test has its own server and several browsers; more than one test at a time is too much for two cores.
  workers: 1,
  fullyParallel: false,
  forbidOnly: process.env['CI'] !== undefined,
  timeout: 180_000,
  expect: { timeout: 30_000 },
  projects: [
    { name: 'strong', use: { delivery: 'strong' } },
    // Whatever goes through the delivery service's order of messages, with the other kind of service too (draft section 5.9).
    { name: 'eventual', use: { delivery: 'eventual' }, testMatch: /(heart|offline|survives|three-people)\.spec\.ts/ },
  ],
});

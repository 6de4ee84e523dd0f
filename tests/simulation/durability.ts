/** How long after a write has resolved it is on the disk, ms: never after it. */
export const DURABLE_AFTER: number = 0;

/** A message is sent when its transaction has begun: that it is complete takes its time. */
export const DURABLE_AFTER = 400;

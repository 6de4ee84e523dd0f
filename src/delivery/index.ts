export { createDeliveryClient, type DeliveryClient, type DeliveryClientParts } from './client.ts';
export { followEvents, type PreparedEventStream, type StreamEnd, type StreamEvent } from './event-stream.ts';
export { fromJson, sequenceEntryFrame, stockFrame } from './frames.ts';

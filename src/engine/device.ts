import { ed25519 } from '@noble/curves/ed25519.js';
import { Secret, utf8 } from '../bytes/index.ts';
import { MAX_DEVICE_NAME } from './content.ts';
import { EMULATION_SUITE } from './protocol.ts';
import type { DeviceState } from './state.ts';
import type { Turn } from './turn.ts';

const USERNAME = /^[a-z0-9._-]{2,32}$/;

export function isUsername(text: string): boolean {
  return USERNAME.test(text);
}

export function isDeviceName(text: string): boolean {
  const length = utf8(text).length;
  return length > 0 && length <= MAX_DEVICE_NAME && text.trim() === text;
}

/** This browser's identity, made once. */
export function newDevice(turn: Turn, deviceName: string): DeviceState {
  const signing = EMULATION_SUITE.signatureKeyPair(turn.random(32));
  return {
    deviceId: turn.random(16),
    deviceName,
    deviceKeySeed: Secret.of('device_key_seed', turn.random(32)),
    emulatorSignatureKey: signing.publicKey,
    emulatorSigner: signing.privateKey,
  };
}

/** Public key by which the server knows this device. */
export function deviceKeyOf(device: DeviceState): Uint8Array {
  return ed25519.getPublicKey(device.deviceKeySeed.reveal());
}

import { getSuite, type MlsSuite } from '../mls/index.ts';
import { draft00, type Protocol } from '../virtual-client/index.ts';

/** MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519: suite of emulation groups. */
export const EMULATION_SUITE: MlsSuite = getSuite(1);
/** Suite of the higher-level groups that this version creates and joins; kept apart from the emulation group's on purpose. */
export const GROUP_SUITE: MlsSuite = getSuite(1);
/** The draft's revision with the emulation group's suite. */
export const EMULATION_PROTOCOL: Protocol = { suite: EMULATION_SUITE, revision: draft00 };
/** Component IDs of the revision in use. */
export const COMPONENTS = draft00.components;

import { Secret, type Spending } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import { canEvaluate, createPprf, evaluate, type PprfState } from '../virtual-client/pprf.ts';
import { MlsError } from './errors.ts';

/**
 * Safe exporter (reading section 2): a tree of 2^16 leaves under
 * `application_export_secret = DeriveSecret(epoch_secret, "application_export")`, one leaf for each
 * ComponentID. Its tree is derived as RFC 9420's secret tree, which is the same as our PPRF's.
 */
export interface SafeExporter {
  readonly tree: PprfState;
}

const DEPTH = 16; // ComponentID is uint16
const COMPONENT_IDS = 2 ** DEPTH;

/** The exporter of a new epoch. The caller wipes `epochSecret` when the epoch's other secrets are derived. */
export function createSafeExporter(suite: CipherSuite, epochSecret: Secret<'epoch_secret'>): SafeExporter {
  const root = Secret.of('application_export_secret', suite.deriveSecret(epochSecret.reveal(), 'application_export'));
  return { tree: createPprf(root, DEPTH) };
}

/**
 * `SafeExportSecret(component_id)`: gives each component's secret once per epoch.
 * Persist `next` before the secret is used; it can never be exported again.
 * @throws MlsError 'invalid-component-id', 'component-exported'
 */
export function safeExport(
  suite: CipherSuite,
  exporter: SafeExporter,
  componentId: number,
): Spending<SafeExporter, Secret<'component_secret'>> {
  if (!Number.isInteger(componentId) || componentId < 0 || componentId >= COMPONENT_IDS) throw new MlsError('invalid-component-id');
  if (!canEvaluate(exporter.tree, componentId)) throw new MlsError('component-exported');
  const { next, value, spent } = evaluate(suite, exporter.tree, componentId, 'component_secret');
  return { next: { tree: next }, value, spent };
}

import { type Context, Hono } from 'hono';
import { equal } from '../../src/bytes/index.ts';
import { ID_LENGTH } from '../../src/delivery/bounds.ts';
import { openRecoveryFrame, recoverFrame } from '../../src/delivery/frames.ts';
import type { RecoveryClaim } from '../../src/engine/ports.ts';
import { accountKeyContent, recoveryProofContent } from '../../src/virtual-client/account-proof.ts';
import { verifyEd25519 } from '../ed25519.ts';
import { MAX_BODY } from '../limits.ts';
import { accountTopic } from '../notices.ts';
import { Refusal } from '../problems.ts';
import { answer, readBody, readFrame, type Service, targetOf } from '../service.ts';
import type { VouchedFor } from '../store/store.ts';

/** Reading section 11: a device that only the recovery key vouches for. */
export function recoveryRoutes(service: Service): Hono {
  const routes = new Hono();

  /** The request under its schema, signed by the device that it names. */
  async function claim<Request extends RecoveryClaim>(
    context: Context,
    schema: Parameters<typeof readFrame<Request>>[0],
  ): Promise<Request> {
    service.rates.recovery.take(service.addressOf(context));
    const authorization = service.verifier.read(context.req.header('Authorization'));
    const body = await readBody(context, MAX_BODY.recovery);
    const request = readFrame(schema, body);
    if (!equal(authorization.deviceId, request.deviceId)) throw new Refusal('bad-signature');
    await service.verifier.verify(authorization, request.deviceKey, { method: 'POST', target: targetOf(context), body });
    return request;
  }

  /** R's word for the device. */
  async function vouch(request: RecoveryClaim): Promise<VouchedFor> {
    const vouched = await service.store.recoveryKey(request.username);
    if (vouched === undefined || !verifyEd25519(vouched.recoveryKey, recoveryProofContent(request), request.proof)) {
      throw new Refusal('recovery-refused');
    }
    return vouched;
  }

  routes.post('/recovery/open', async (context) => {
    const request = await claim(context, openRecoveryFrame);
    return answer(await service.store.openRecovery(await vouch(request)));
  });

  routes.post('/recovery', async (context) => {
    const request = await claim(context, recoverFrame);
    // Who asks again after R has changed is in already; it must not take its account for lost.
    const again = await service.store.recoveredAgain(request);
    if (again !== undefined) return answer(again);
    const vouched = await vouch(request);
    const { accountId } = vouched;
    const { keyVersion, signatureKey, keyProof } = request;
    if (!verifyEd25519(signatureKey, accountKeyContent({ accountId, keyVersion, signatureKey }), keyProof)) {
      throw new Refusal('bad-signature');
    }
    const binding = await service.authenticationKey.bind(accountId, keyVersion + 1, signatureKey);
    const recovered = await service.store.recover(vouched, request, binding, service.random(ID_LENGTH), service.now());
    if (recovered.changed) service.notices.publish(accountTopic(accountId));
    return answer(recovered.answer);
  });

  return routes;
}

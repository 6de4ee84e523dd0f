import { Hono } from 'hono';
import { equal } from '../../src/bytes/index.ts';
import { ID_LENGTH } from '../../src/delivery/bounds.ts';
import { bindKeyFrame, id as idSchema, removalFrame } from '../../src/delivery/frames.ts';
import { accountKeyContent } from '../../src/virtual-client/account-proof.ts';
import { decodeRemovalStatement } from '../../src/virtual-client/removal-statement.ts';
import { verifyEd25519 } from '../ed25519.ts';
import { MAX_BODY } from '../limits.ts';
import { accountTopic } from '../notices.ts';
import { Refusal } from '../problems.ts';
import { answer, readFrame, readText, type Service } from '../service.ts';

/** Reading section 12: cutting off a device, and the account key that it never held. */
export function deviceRoutes(service: Service): Hono {
  const routes = new Hono();

  routes.post('/devices/:deviceId/removal', async (context) => {
    const { caller, body } = await service.authenticate(context, MAX_BODY.device);
    const deviceId = readText(idSchema, context.req.param('deviceId'));
    const { statement } = readFrame(removalFrame, body);
    if (!equal(deviceOf(statement), deviceId)) throw new Refusal('malformed');
    const changed = await service.store.beginRemoval(caller, deviceId, statement, service.random(ID_LENGTH), service.now());
    if (changed) service.notices.publish(accountTopic(caller.accountId)); // its streams look, and end with `gone`
    return answer({});
  });

  routes.put('/account/key', async (context) => {
    const { caller, body } = await service.authenticate(context, MAX_BODY.device);
    const { keyVersion, signatureKey, proof } = readFrame(bindKeyFrame, body);
    const { accountId } = caller;
    if (!verifyEd25519(signatureKey, accountKeyContent({ accountId, keyVersion, signatureKey }), proof)) throw new Refusal('bad-signature');
    const binding = await service.authenticationKey.bind(accountId, keyVersion + 1, signatureKey);
    const next = { keyVersion: keyVersion + 1, signatureKey, binding };
    const changed = await service.store.bindAccountKey(caller, next, service.random(ID_LENGTH), service.now());
    if (changed) service.notices.publish(accountTopic(accountId));
    const bound = await service.store.accountKey(caller);
    return answer({ keyVersion: bound.keyVersion, binding: bound.binding });
  });

  return routes;
}

/** What the statement's signature says is for the siblings to judge; the server does not know their keys. */
function deviceOf(statement: Uint8Array): Uint8Array {
  try {
    return decodeRemovalStatement(statement).deviceId;
  } catch {
    throw new Refusal('malformed');
  }
}

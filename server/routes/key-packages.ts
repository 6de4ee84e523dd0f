import { Hono } from 'hono';
import { equal } from '../../src/bytes/index.ts';
import { claimFrame, uploadFrame } from '../../src/delivery/frames.ts';
import { MAX_BODY } from '../limits.ts';
import { accountTopic } from '../notices.ts';
import { Refusal } from '../problems.ts';
import { answer, keyOf, readFrame, type Service } from '../service.ts';
import { areDistinct } from '../submission.ts';

export function keyPackageRoutes(service: Service): Hono {
  const routes = new Hono();

  routes.post('/key-packages', async (context) => {
    const { caller, body } = await service.authenticate(context, MAX_BODY.keyPackages);
    const { keyPackages } = readFrame(uploadFrame, body);
    const stock = await service.store.uploadKeyPackages(caller, keyPackages, service.now());
    service.notices.publish(accountTopic(caller.accountId));
    return answer({ stock });
  });

  routes.post('/key-packages/claim', async (context) => {
    const { caller, body } = await service.authenticate(context, MAX_BODY.accounts);
    const { claimId, accountIds } = readFrame(claimFrame, body);
    if (!areDistinct(accountIds) || accountIds.some((accountId) => equal(accountId, caller.accountId))) throw new Refusal('malformed');
    service.rates.claim.take(keyOf(caller.accountId), accountIds.length);
    const keyPackages = await service.store.claimKeyPackages(caller, claimId, accountIds, service.now());
    for (const { accountId } of keyPackages) service.notices.publish(accountTopic(accountId)); // its stock has sunk
    return answer({ keyPackages });
  });

  return routes;
}

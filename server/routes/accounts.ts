import { Hono } from 'hono';
import { ID_LENGTH } from '../../src/delivery/bounds.ts';
import { createAccountFrame, describeFrame } from '../../src/delivery/frames.ts';
import { accountProofContent } from '../../src/virtual-client/account-proof.ts';
import { equal } from '../../src/bytes/index.ts';
import { verifyEd25519 } from '../ed25519.ts';
import { MAX_BODY } from '../limits.ts';
import { Refusal } from '../problems.ts';
import { answer, keyOf, readBody, readFrame, type Service, targetOf } from '../service.ts';
import { checkGroupInfo } from '../submission.ts';

/** Version of an account's first signature key. */
const FIRST_KEY_VERSION = 1;

export function accountRoutes(service: Service): Hono {
  const routes = new Hono();

  routes.get('/server', () => answer({ authenticationKey: service.authenticationKey.publicKey }));

  routes.post('/accounts', async (context) => {
    service.rates.createAccount.take(service.addressOf(context));
    const authorization = service.verifier.read(context.req.header('Authorization'));
    const body = await readBody(context, MAX_BODY.createAccount);
    const request = readFrame(createAccountFrame, body);
    if (!equal(authorization.deviceId, request.deviceId)) throw new Refusal('bad-signature');
    await service.verifier.verify(authorization, request.deviceKey, { method: 'POST', target: targetOf(context), body });
    if (!verifyEd25519(request.signatureKey, accountProofContent(request), request.proof)) throw new Refusal('bad-signature');
    checkGroupInfo(request.emulationGroupInfo, request.emulationGroupId, 0);
    const accountId = service.random(ID_LENGTH);
    const binding = await service.authenticationKey.bind(accountId, FIRST_KEY_VERSION, request.signatureKey);
    return answer(await service.store.createAccount({ ...request, accountId, keyVersion: FIRST_KEY_VERSION, binding }));
  });

  routes.get('/accounts', async (context) => {
    const { caller } = await service.authenticate(context, 0);
    service.rates.lookUp.take(keyOf(caller.accountId));
    const username = (context.req.query('username') ?? '').toLowerCase();
    return answer(await service.store.findAccount(caller, username));
  });

  routes.post('/accounts/describe', async (context) => {
    const { caller, body } = await service.authenticate(context, MAX_BODY.accounts);
    const { accountIds } = readFrame(describeFrame, body);
    service.rates.lookUp.take(keyOf(caller.accountId), accountIds.length);
    return answer({ accounts: await service.store.describeAccounts(caller, accountIds) });
  });

  return routes;
}

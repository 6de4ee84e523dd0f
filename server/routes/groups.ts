import { Hono } from 'hono';
import { groupId as groupIdSchema, openInvitationFrame, submissionFrame } from '../../src/delivery/frames.ts';
import { invitationRequestContent } from '../../src/virtual-client/account-proof.ts';
import { verifyEd25519 } from '../ed25519.ts';
import { MAX_BODY } from '../limits.ts';
import { accountTopic, linkTopic } from '../notices.ts';
import { answer, readCount, readFrame, readText, type Service } from '../service.ts';
import { checkSubmission } from '../submission.ts';

export function groupRoutes(service: Service): Hono {
  const routes = new Hono();

  routes.post('/groups/:groupId/messages', async (context) => {
    const { caller, body } = await service.authenticate(context, MAX_BODY.submission);
    const groupId = readText(groupIdSchema, context.req.param('groupId'));
    const submission = { groupId, ...readFrame(submissionFrame, body) };
    checkSubmission(submission);
    await service.transport(submission);
    const invited = submission.commit?.invited;
    const invitedBy = invited && (await invitationKey(groupId, caller.accountId, invited));
    const { position, sequence, reached, link } = await service.store.submit(caller, submission, service.now(), invitedBy);
    for (const accountId of reached) service.notices.publish(accountTopic(accountId));
    if (link !== undefined) service.notices.publish(linkTopic(link));
    return answer({ position, sequence, checked: service.consistency === 'strong' });
  });

  /** The group's key, if `proof` is its signature for this account. */
  async function invitationKey(groupId: Uint8Array, accountId: Uint8Array, proof: Uint8Array): Promise<Uint8Array | undefined> {
    const key = await service.store.invitationKey(groupId);
    return key && verifyEd25519(key, invitationRequestContent({ groupId, accountId }), proof) ? key : undefined;
  }

  routes.post('/groups/:groupId/invitation', async (context) => {
    const { caller, body } = await service.authenticate(context, MAX_BODY.invitation);
    const groupId = readText(groupIdSchema, context.req.param('groupId'));
    const { proof } = readFrame(openInvitationFrame, body);
    return answer(await service.store.openInvitation(caller, groupId, await invitationKey(groupId, caller.accountId, proof)));
  });

  routes.get('/groups', async (context) => {
    const { caller } = await service.authenticate(context, 0);
    return answer({ groups: await service.store.listGroups(caller) });
  });

  routes.get('/groups/:groupId', async (context) => {
    const { caller } = await service.authenticate(context, 0);
    const epoch = context.req.query('epoch');
    const wanted = epoch === undefined ? undefined : readCount(epoch, Number.MAX_SAFE_INTEGER);
    return answer(await service.store.readGroup(caller, readText(groupIdSchema, context.req.param('groupId')), wanted));
  });

  return routes;
}

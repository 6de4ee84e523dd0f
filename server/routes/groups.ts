import { Hono } from 'hono';
import { groupId as groupIdSchema, submissionFrame } from '../../src/delivery/frames.ts';
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
    const { position, sequence, reached, link } = await service.store.submit(caller, submission, service.now());
    for (const accountId of reached) service.notices.publish(accountTopic(accountId));
    if (link !== undefined) service.notices.publish(linkTopic(link));
    return answer({ position, sequence, checked: service.consistency === 'strong' });
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

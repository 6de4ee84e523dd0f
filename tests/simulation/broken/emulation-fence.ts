import * as real from '../../../server/store/sqlite-submit.ts';

export * from '../../../server/store/sqlite-submit.ts';

/** The server takes leaves of any emulation epoch: it reads each fence as naming the one that there is. */
export const submissionsOf: typeof real.submissionsOf = (...parts) => {
  const [database, accounts] = parts;
  const submissions = real.submissionsOf(...parts);
  const epochOf = database.prepare<[Uint8Array], { readonly epoch: number }>('SELECT epoch FROM groups WHERE group_id = ?');
  return {
    ...submissions,
    submit: (sender, submission, invitedBy, now) => {
      const emulationEpoch = epochOf.get(accounts.requireAccount(sender).emulation_group_id)?.epoch ?? 0;
      const fence = submission.fence && { ...submission.fence, emulationEpoch };
      return submissions.submit(sender, { ...submission, fence }, invitedBy, now);
    },
  };
};

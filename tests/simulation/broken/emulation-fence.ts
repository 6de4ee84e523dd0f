import * as real from '../../../server/store/sqlite-submit.ts';

export * from '../../../server/store/sqlite-submit.ts';

/** The server takes leaves of any emulation epoch. */
export const submissionsOf: typeof real.submissionsOf = (...parts) => {
  const submissions = real.submissionsOf(...parts);
  return {
    ...submissions,
    submit: (sender, submission, invitedBy, now) => submissions.submit(sender, { ...submission, fence: undefined }, invitedBy, now),
  };
};

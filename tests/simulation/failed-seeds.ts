import type { Schedule } from './schedule.ts';

/**
 * Schedules that have failed, with what was found: the shortest ones, as they are printed behind `--schedule`. They say
 * what happens themselves, so that they stay what they were when schedules are drawn in another way.
 */
export const FAILED_SCHEDULES: readonly { readonly schedule: Schedule; readonly found: string }[] = [
  {
    schedule: {
      people: 3,
      devices: 3,
      conversations: 3,
      minutes: 10,
      seed: '931227',
      service: 'strong',
      happenings: [
        { do: 'clone', after: 32684, who: 927766, wait: 28166 },
        { do: 'die-after-accepted', after: 16998, who: 318520, what: 'commit' },
        { do: 'reorder', after: 56488, who: 948835, skip: 2, ms: 9407 },
        { do: 'remove-device', after: 148210, who: 245211, which: 57187, dies: true },
        { do: 'renew', after: 10704, who: 270241 },
        { do: 'send', after: 88893, who: 218916, where: 516576 },
        { do: 'clone', after: 210, who: 1017996, wait: 39065 },
        { do: 'drop', after: 78451, who: 82903, skip: 1 },
      ],
    },
    found: 'a device and its copy both sent what had been written before the copy was made, which was held against them (the simulation)',
  },
  {
    schedule: {
      seed: '5014',
      people: 3,
      devices: 3,
      conversations: 3,
      minutes: 10,
      happenings: [{ do: 'recover', after: 665, who: 484640 }],
    },
    found: 'nobody said whether to join where no device had answered before the recovery (the simulation)',
  },
  {
    schedule: {
      people: 3,
      devices: 3,
      conversations: 3,
      minutes: 10,
      seed: '849295543',
      happenings: [
        { do: 'update', after: 432141, days: 6 },
        { do: 'send', after: 29897, who: 545507, where: 964344 },
        { do: 'recover', after: 68451, who: 845447, dies: true },
        { do: 'send', after: 29933, who: 341654, where: 780548 },
        { do: 'crash-server', after: 88856, points: 6, down: 1217 },
        { do: 'recover', after: 212, who: 319730 },
        { do: 'remove', after: 259, who: 865233, where: 409366, whom: 376597 },
        { do: 'send', after: 223, who: 668401, where: 301780 },
      ],
    },
    found: 'a recovery that another one was before in, and that the server had not taken yet, was held against the log (the simulation)',
  },
  {
    schedule: {
      seed: '5',
      people: 2,
      devices: 1,
      conversations: 1,
      minutes: 1,
      happenings: [
        { do: 'lie-refused', after: 1000, who: 0, ms: 20000 },
        { do: 'send', after: 2000, who: 0, where: 0 },
        { do: 'send', after: 2000, who: 0, where: 0 },
        { do: 'send', after: 2000, who: 0, where: 0 },
        { do: 'send', after: 2000, who: 0, where: 0 },
      ],
    },
    found: 'a text that the server had taken and said to have refused came back with an alarm of a copy (sending.ts)',
  },
  {
    schedule: {
      seed: '4',
      people: 3,
      devices: 1,
      conversations: 3,
      minutes: 1,
      happenings: [
        { do: 'lie-answer-other', after: 1000, who: 1, ms: 4000 },
        { do: 'create', after: 100, who: 1, whom: 0 },
        { do: 'online', after: 4000, who: 0 },
      ],
    },
    found: 'whoever the server told of was taken for the account whose name was typed (runtime.ts)',
  },
  {
    schedule: {
      seed: '31',
      people: 2,
      devices: 1,
      conversations: 1,
      minutes: 1,
      happenings: [
        { do: 'lie-refused', after: 1000, who: 0, ms: 60000 },
        { do: 'send', after: 100, who: 0, where: 0 },
        { do: 'online', after: 60000, who: 0 },
      ],
    },
    found: 'a text that the server called late for an emulation epoch, which no text names, was sent without a pause (sending.ts)',
  },
  {
    schedule: {
      seed: '600155',
      people: 3,
      devices: 3,
      conversations: 3,
      minutes: 10,
      happenings: [
        { do: 'lie-fork', after: 26822, who: 587438, ms: 87681, alone: true, ends: 'openly' },
        { do: 'send', after: 27, who: 968042, where: 37227 },
        { do: 'phrase', after: 630, who: 664068 },
        { do: 'clock', after: 69239, who: 248556, ms: 60000 },
        { do: 'lie-fork', after: 55081, who: 257196, ms: 281212, ends: 'openly' },
        { do: 'lie-reorder', after: 6, who: 543204, ms: 28337 },
        { do: 'remove', after: 158, who: 221765, where: 655230, whom: 222628 },
        { do: 'online', after: 0, who: 249145 },
        { do: 'lie-refused', after: 34, who: 284135, ms: 58786 },
        { do: 'create', after: 11, who: 284135, whom: 293386 },
        { do: 'send', after: 31, who: 543879, where: 889272 },
        { do: 'link', after: 80, who: 997 },
        { do: 'online', after: 108571, who: 7636 },
        { do: 'remove-device', after: 182, who: 961112, which: 931393 },
        { do: 'send', after: 46081, who: 109208, where: 975362 },
        { do: 'lie-replay', after: 6743, who: 702645, ms: 56847 },
        { do: 'online', after: 121, who: 1017948 },
        { do: 'send', after: 90532, who: 429454, where: 192451 },
      ],
    },
    found: 'what a sibling came back by to a conversation that was set back was forgotten and asked for without an end (external-join.ts)',
  },
  {
    schedule: {
      people: 3,
      devices: 3,
      conversations: 3,
      minutes: 10,
      seed: '720000035',
      happenings: [
        { do: 'link', after: 42012, who: 845916 },
        { do: 'link', after: 467, who: 104083 },
        { do: 'remove', after: 56605, who: 633456, where: 772871, whom: 168261 },
        { do: 'remove', after: 65238, who: 657442, where: 864457, whom: 901453 },
        { do: 'recover', after: 4910, who: 647301 },
      ],
    },
    found: 'nobody came back into a conversation in which they were alone (ratchet-tree.ts)',
  },
  {
    schedule: {
      people: 3,
      devices: 3,
      conversations: 3,
      minutes: 10,
      seed: '770000406',
      service: 'eventual',
      happenings: [
        { do: 'cut-before-answer', after: 130196, who: 797674, skip: 2 },
        { do: 'create', after: 431, who: 616934, whom: 395188 },
        { do: 'send', after: 67, who: 12607, where: 335839 },
        { do: 'two-tabs', after: 98, who: 439378, where: 811573, ms: 22935 },
        { do: 'lie-corrupt', after: 768, who: 738909, ms: 265480 },
        { do: 'lie-refused', after: 121138, who: 997358, ms: 8751 },
        { do: 'send', after: 54, who: 422398, where: 874744 },
        { do: 'lie-refused', after: 2, who: 1037075, ms: 246781 },
        { do: 'create', after: 58, who: 1037075, whom: 416348, dies: true },
        { do: 'lie-answer-other', after: 11, who: 535857, ms: 226052 },
        { do: 'send', after: 12, who: 1027406, where: 407364 },
        { do: 'lie-answer-other', after: 51723, who: 1033855, ms: 161476 },
        { do: 'lie-answer-corrupt', after: 100, who: 586901, ms: 62130 },
        { do: 'link', after: 3, who: 586901 },
        { do: 'lie-reorder', after: 39094, who: 577145, ms: 43108 },
        { do: 'send', after: 131, who: 251230, where: 1004710 },
        { do: 'remove', after: 21168, who: 8127, where: 178572, whom: 727564 },
        { do: 'send', after: 35, who: 118781, where: 544592 },
        { do: 'recover', after: 126, who: 777296 },
      ],
    },
    found: 'a message of the emulation group that came back changed was made anew without a pause (follow.ts)',
  },
];

/**
 * What failed before that is known by its seed alone, in the shape that is the command's own. A change of the simulation
 * changes what a seed means, and what these had meant nobody has kept: each is one more schedule that is the same for all.
 */
export const FAILED_SEEDS: readonly { readonly seed: number; readonly found: string }[] = [
  { seed: 21, found: 'a clock an hour ahead: rest was judged by the wrong clock (the simulation)' },
  { seed: 45, found: 'a clock that was set back by an hour: no request was tried again for an hour (runtime.ts)' },
  { seed: 125, found: 'left and came back in one slice: the time between was asked for (the simulation)' },
  { seed: 156, found: 'two copies had one name, and so the same randomness (the simulation)' },
  { seed: 325, found: 'a sibling of a copied device was asked to be at rest (the simulation)' },
  { seed: 1019, found: "a copy's refused commit was taken for read (the simulation)" },
  { seed: 1058, found: 'a forged message that was refused was taken for read (the simulation)' },
  { seed: 1084, found: 'two copies of one device went on in two ways after ten days (meant so)' },
  { seed: 5288, found: 'a device heard of a cut stream in the event of the server that was dying (the simulation)' },
  { seed: 470541850, found: "a device and its copy bound the account's key by turns, without an end (removal.ts)" },
  { seed: 470541908, found: 'the same, after a removal that the copy asked for (removal.ts)' },
  { seed: 474781347, found: 'beside a refused commit, a late commit of ours was made anew without a pause (sending.ts)' },
];

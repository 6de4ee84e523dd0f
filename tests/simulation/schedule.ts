import type { Consistency } from '../../server/store/store.ts';
import { Dice } from './dice.ts';

/** Whom or what an action means: a number that is taken modulo what there is at the time. */
type Pick = number;

/**
 * One thing that happens. Each names all that it needs, so that any of them can be left out. Whoever `dies` over it does so
 * for good, right after the server has taken the creation, the external commit, the account's new key, the emulation group's commit.
 */
export type Happening = {
  /** ms after the one before. */
  readonly after: number;
} & (
  | { readonly do: 'send'; readonly who: Pick; readonly where: Pick }
  | { readonly do: 'create'; readonly who: Pick; readonly whom: Pick; readonly dies?: true }
  | { readonly do: 'add'; readonly who: Pick; readonly where: Pick; readonly whom: Pick }
  | { readonly do: 'remove'; readonly who: Pick; readonly where: Pick; readonly whom: Pick }
  | { readonly do: 'link'; readonly who: Pick }
  | { readonly do: 'remove-device'; readonly who: Pick; readonly which: Pick; readonly dies?: true }
  | { readonly do: 'phrase'; readonly who: Pick }
  | { readonly do: 'recover'; readonly who: Pick; readonly dies?: true }
  | { readonly do: 'renew'; readonly who: Pick; readonly dies?: true }
  | { readonly do: 'offline'; readonly who: Pick }
  | { readonly do: 'online'; readonly who: Pick }
  /** Everybody sleeps for days; afterwards leaves are renewed by Updates. */
  | { readonly do: 'update'; readonly days: number }
  | { readonly do: 'drop' | 'duplicate' | 'cut-after-request' | 'cut-before-answer'; readonly who: Pick; readonly skip: number }
  | { readonly do: 'delay' | 'reorder'; readonly who: Pick; readonly skip: number; readonly ms: number }
  | { readonly do: 'cut-connections'; readonly who: Pick }
  /** The worker dies at its wait number `points`; it is started again after `down` ms. */
  | { readonly do: 'crash'; readonly who: Pick; readonly points: number; readonly down: number }
  /** The same at wait number `points` after its next sweep has made a new root beside the old one. */
  | { readonly do: 'crash-sweep'; readonly who: Pick; readonly points: number; readonly down: number }
  /** Of several, that tell different stories, `which`; the first if none is named. */
  | { readonly do: 'crash-server'; readonly points: number; readonly down: number; readonly which?: Pick }
  /** The worker dies for good right after the server has taken its next such request. */
  | { readonly do: 'die-after-accepted'; readonly who: Pick; readonly what: LastWords }
  | { readonly do: 'clock'; readonly who: Pick; readonly ms: number }
  | { readonly do: 'full-disk'; readonly who: Pick; readonly ms: number }
  /** A second worker over the same store, as when a new version takes over; both are used at once. */
  | { readonly do: 'two-tabs'; readonly who: Pick; readonly where: Pick; readonly ms: number }
  /** The profile is copied now, and the copy runs from `wait` ms later on. */
  | { readonly do: 'clone'; readonly who: Pick; readonly wait: number }
  /** The profile is copied now, and `wait` ms later the copy takes its place. */
  | { readonly do: 'restore'; readonly who: Pick; readonly wait: number }
  /** A removed device gives what it knows to a member, who speaks in its person's name. */
  | { readonly do: 'conspire'; readonly who: Pick; readonly where: Pick }
  | { readonly do: SequenceLie | AnswerLie; readonly who: Pick; readonly ms: number }
  /** All devices of a person are told another story, or one `alone`; if it `ends`, after `ms`. */
  | { readonly do: 'lie-fork'; readonly who: Pick; readonly ms: number; readonly alone?: true; readonly ends?: ForkEnd }
);

/** What the server may do to one device's sequence for a while. */
export type SequenceLie = 'lie-replay' | 'lie-withhold' | 'lie-reorder' | 'lie-corrupt';
/** What it may tell a person's devices for a while, whatever they ask for. */
export type AnswerLie = 'lie-answer-replay' | 'lie-answer-other' | 'lie-answer-corrupt' | 'lie-refused' | 'lie-accepted';
const ANSWER_LIES: readonly AnswerLie[] = ['lie-answer-replay', 'lie-answer-other', 'lie-answer-corrupt', 'lie-refused', 'lie-accepted'];

export function isAnswerLie(kind: Kind): kind is AnswerLie {
  return ANSWER_LIES.some((lie) => lie === kind);
}

/** The first story goes on: the server finds the device's marks wrong, or says that they are right. */
export type ForkEnd = 'openly' | 'secretly';
const FORK_ENDS: readonly (ForkEnd | undefined)[] = ['openly', 'secretly', 'secretly', undefined];
export type LastWords = 'creation' | 'external-commit' | 'key-binding' | 'commit' | 'emulation-commit';
/** Of whoever dies by itself; the others' go with what leads to them. */
const LAST_WORDS: readonly LastWords[] = ['commit', 'emulation-commit'];

export type Kind = Happening['do'];

export interface Shape {
  readonly people: number;
  readonly devices: number;
  readonly conversations: number;
  /** Virtual minutes over which things happen. */
  readonly minutes: number;
}

export interface Schedule extends Shape {
  readonly seed: string;
  /** Of the delivery service; strong unless it says otherwise. */
  readonly service?: Consistency;
  readonly happenings: readonly Happening[];
}

/** What a world suffers from besides bad luck. */
export type Flavour = 'plain' | 'cloned' | 'lying';
const FLAVOURS: readonly Flavour[] = ['plain', 'plain', 'plain', 'plain', 'cloned', 'lying'];

/** How often each kind happens, relative to the others. */
const WEIGHTS: Readonly<Record<Kind, number>> = {
  send: 36,
  create: 3,
  add: 4,
  remove: 3,
  link: 3,
  'remove-device': 2,
  phrase: 1,
  recover: 2,
  renew: 3,
  offline: 3,
  online: 4,
  update: 1,
  drop: 3,
  duplicate: 2,
  'cut-after-request': 3,
  'cut-before-answer': 4,
  delay: 3,
  reorder: 3,
  'cut-connections': 2,
  crash: 7,
  'crash-server': 3,
  'die-after-accepted': 4,
  clock: 2,
  'full-disk': 2,
  'two-tabs': 2,
  conspire: 4,
  'crash-sweep': 0,
  clone: 0,
  restore: 0,
  'lie-replay': 0,
  'lie-withhold': 0,
  'lie-reorder': 0,
  'lie-corrupt': 0,
  'lie-fork': 0,
  'lie-answer-replay': 0,
  'lie-answer-other': 0,
  'lie-answer-corrupt': 0,
  'lie-refused': 0,
  'lie-accepted': 0,
};

/** What comes on top. */
const EXTRA: Readonly<Record<Flavour, Partial<Record<Kind, number>>>> = {
  plain: {},
  cloned: { clone: 5, restore: 5 },
  lying: { 'lie-replay': 5, 'lie-withhold': 5, 'lie-reorder': 5, 'lie-corrupt': 5, 'lie-fork': 3 },
};

/** Of 100 schedules in which nobody is copied or lied to, those with an eventually consistent service. */
const EVENTUAL = 15;
/** Things that happen per schedule. */
const HAPPENINGS = 30;
/** Longest delay of a request, ms; beyond it the client takes it for lost. */
const LONGEST_DELAY = 20_000;
/** ms */
const LONGEST_LIE = 300_000;
/** Crashes in sweeps, in a schedule whose server does not lie. */
const MOST_SWEEP_CRASHES = 3;
/** Waits of a sweep from a new root to the end of the old one. */
const SWEEP_POINTS = 90;
/** Of the lies in answers, in a schedule with a server that lies. */
const MOST_ANSWER_LIES = 8;
/** Of 100 of them, those that somebody asks for something in. */
const ASKS = 75;
/** What it takes many kinds of requests for. */
const ERRANDS: readonly Kind[] = ['send', 'create', 'add', 'remove', 'link', 'link', 'remove-device', 'recover', 'recover', 'renew'];
/** Of 100 forks, those of one device. */
const ALONE = 50;
const PICKS = 2 ** 20;
/** Of 100 who make something that the account hangs on, those who die over it. */
const DIE = 25;

function kindsOf(flavour: Flavour): Kind[] {
  const weights = { ...WEIGHTS, ...EXTRA[flavour] };
  return (Object.entries(weights) as [Kind, number][]).flatMap(([kind, weight]) => Array<Kind>(weight).fill(kind));
}

/** The schedule of a seed. */
export function drawSchedule(seed: string, shape: Shape): Schedule {
  const dice = new Dice(`${seed}/schedule`);
  const average = (shape.minutes * 60_000) / HAPPENINGS;
  const flavour = dice.pick(FLAVOURS);
  const kinds = kindsOf(flavour);
  const happenings = Array.from({ length: HAPPENINGS }, () => draw(dice, dice.pick(kinds), average));
  const service = flavour === 'plain' && new Dice(`${seed}/service`).chance(EVENTUAL) ? 'eventual' : 'strong';
  const more = flavour === 'lying' ? withMoreLies(seed, happenings, average) : withSweepCrashes(seed, happenings);
  return { ...shape, seed, service, happenings: more };
}

/** Drawn with dice of its own, and put in between what was drawn before it, each of which happens as it did and when it did. */
function withSweepCrashes(seed: string, drawn: readonly Happening[]): Happening[] {
  const dice = new Dice(`${seed}/schedule/sweeps`);
  const happenings = [...drawn];
  for (let count = dice.roll(MOST_SWEEP_CRASHES + 1); count > 0; count -= 1) {
    const crash: Happening = {
      do: 'crash-sweep',
      after: 0,
      who: dice.roll(PICKS),
      points: dice.roll(SWEEP_POINTS),
      down: dice.roll(20_000),
    };
    happenings.splice(dice.roll(happenings.length + 1), 0, crash);
  }
  return happenings;
}

/**
 * What the server has learnt to lie in since: drawn with dice of its own, and put in between what was drawn before it,
 * each of which happens as it did and when it did.
 */
function withMoreLies(seed: string, drawn: readonly Happening[], average: number): Happening[] {
  const dice = new Dice(`${seed}/schedule/more lies`);
  const happenings = drawn.map((happening): Happening => {
    if (happening.do === 'crash-server') return { ...happening, which: dice.roll(PICKS) };
    if (happening.do !== 'lie-fork') return happening;
    const ends = dice.pick(FORK_ENDS);
    return { ...happening, ...(dice.chance(ALONE) && { alone: true }), ...(ends && { ends }) };
  });
  for (let count = dice.roll(MOST_ANSWER_LIES + 1); count > 0; count -= 1) {
    const index = dice.roll(happenings.length);
    const next = happenings[index]!;
    const who = dice.roll(PICKS);
    const lie: Happening = { do: dice.pick(ANSWER_LIES), after: dice.roll(next.after + 1), who, ms: dice.roll(LONGEST_LIE) };
    const left = next.after - lie.after;
    const errands = dice.chance(ASKS) ? [{ ...draw(dice, dice.pick(ERRANDS), average), after: dice.roll(left + 1), who }] : [];
    const after = errands.reduce((rest, errand) => rest - errand.after, left);
    happenings.splice(index, 1, lie, ...errands, { ...next, after });
  }
  return happenings;
}

/** Half of what happens follows at once on what was before it: that is where races are. */
function draw(dice: Dice, kind: Kind, average: number): Happening {
  const after = dice.chance(50) ? dice.roll(300) : dice.roll(4 * average);
  const who = dice.roll(PICKS);
  switch (kind) {
    case 'send':
      return { do: kind, after, who, where: dice.roll(PICKS) };
    case 'create':
      return { do: kind, after, who, whom: dice.roll(PICKS), ...mayDie(dice) };
    case 'add':
    case 'remove':
      return { do: kind, after, who, where: dice.roll(PICKS), whom: dice.roll(PICKS) };
    case 'remove-device':
      return { do: kind, after, who, which: dice.roll(PICKS), ...mayDie(dice) };
    case 'recover':
    case 'renew':
      return { do: kind, after, who, ...mayDie(dice) };
    case 'link':
    case 'phrase':
    case 'offline':
    case 'online':
    case 'cut-connections':
      return { do: kind, after, who };
    case 'update':
      return { do: kind, after, days: 1 + dice.roll(10) };
    case 'drop':
    case 'duplicate':
    case 'cut-after-request':
    case 'cut-before-answer':
      return { do: kind, after, who, skip: dice.roll(3) };
    case 'delay':
    case 'reorder':
      return { do: kind, after, who, skip: dice.roll(3), ms: dice.roll(LONGEST_DELAY) };
    case 'crash':
    case 'crash-sweep':
      return { do: kind, after, who, points: dice.roll(400), down: dice.roll(20_000) };
    case 'die-after-accepted':
      return { do: kind, after, who, what: dice.pick(LAST_WORDS) };
    case 'clock':
      return { do: kind, after, who, ms: dice.pick([-1, 1]) * dice.pick([60_000, 3_600_000, 86_400_000]) };
    case 'full-disk':
      return { do: kind, after, who, ms: dice.roll(30_000) };
    case 'two-tabs':
      return { do: kind, after, who, where: dice.roll(PICKS), ms: dice.roll(30_000) };
    case 'clone':
    case 'restore':
      return { do: kind, after, who, wait: dice.roll(4 * average) };
    case 'conspire':
      return { do: kind, after, who, where: dice.roll(PICKS) };
    case 'lie-replay':
    case 'lie-withhold':
    case 'lie-reorder':
    case 'lie-corrupt':
    case 'lie-fork':
    case 'lie-answer-replay':
    case 'lie-answer-other':
    case 'lie-answer-corrupt':
    case 'lie-refused':
    case 'lie-accepted':
      return { do: kind, after, who, ms: dice.roll(LONGEST_LIE) };
    case 'crash-server':
      return { do: kind, after, points: dice.roll(20), down: dice.roll(20_000) };
  }
}

function mayDie(dice: Dice): { readonly dies?: true } {
  return dice.chance(DIE) ? { dies: true } : {};
}

// The seven stories. Each step says something and does it, through the same doors as people: shops, links, regions.

/**
 * @typedef {object} Stage  what a story can do; regions are named by their place in the order
 * @property {() => Promise<void>} clean  no load, all links and regions well, a new shopper
 * @property {(index: number) => string} place
 * @property {(index: number, write: import("./types").Write) => Promise<void>} write
 * @property {(index: number) => Promise<void>} isolate
 * @property {(from: number, to: number) => Promise<void>} cut  both ways
 * @property {() => Promise<void>} heal
 * @property {(index: number) => Promise<void>} killAndWipe
 * @property {(index: number) => Promise<void>} start
 * @property {(perSecond: number) => Promise<void>} load  in every region
 * @property {() => Promise<void>} same  until the shopper's cart looks the same in all regions that run
 * @property {() => Promise<void>} agreed  until /api/converged says so
 * @property {(index: number, sku: string) => Promise<void>} shows  until this region shows this line
 * @property {() => string} tookWords  how long agreement took
 * @property {() => string} lostWords  what last writer wins would have lost
 * @property {() => string} cartWords  what the cart holds now
 * @property {(index: number) => Promise<void>} anonymous  shows an anonymous cart in this region's shop
 * @property {(index: number) => Promise<void>} logIn  folds the anonymous cart in, and shows the shopper's
 * @property {(ms: number) => Promise<void>} wait
 */

/**
 * @typedef {object} Step
 * @property {(stage: Stage) => string} say
 * @property {(stage: Stage) => Promise<unknown>} [run]
 * @property {(stage: Stage) => string} [then]  what to say once it is done
 */

/** @typedef {{id: string, title: string, about: string, steps: Step[]}} Story */

const [SUNGLASSES, TANK_TOP, WATCH, LOAFERS, CANDLE, MUG] = ["OLJCESPC7Z", "66VCHSJNUP", "1YMWWN1N4O", "L9ECAV7KIM", "0PUK6V6EV0", "6E92ZMYYFZ"];
const [A, B, C] = [0, 1, 2];

/** @param {string} sku @param {number} [quantity] @returns {import("./types").Write} */
const add = (sku, quantity = 1) => ({ do: "add", sku, quantity });

/** @type {readonly Story[]} */
export const STORIES = [
  {
    id: "hello",
    title: "Hello",
    about: "Three regions take writes at once, and agree",
    steps: [
      { say: () => "One shopper, three shops. Each shop writes to its own region and waits for no other.", run: (s) => s.wait(400) },
      { say: (s) => `${s.place(A)} adds a watch. It is safe there before it is confirmed; see the stamp.`, run: (s) => s.write(A, add(WATCH)) },
      { say: (s) => `Now ${s.place(B)} and ${s.place(C)} add something too, in the same moment.`, run: (s) => Promise.all([s.write(B, add(SUNGLASSES, 2)), s.write(C, add(MUG))]) },
      { say: () => "Each write travels on by itself, as fast as the cable allows.", run: async (s) => { await s.same(); await s.agreed(); } },
      { say: (s) => `All regions hold the same cart: ${s.cartWords()}. They agreed ${s.tookWords()}. This is active-active.` },
    ],
  },
  {
    id: "black-friday",
    title: "Black Friday",
    about: "A region is cut off under load; both sides keep selling; nothing is lost",
    steps: [
      { say: () => "Black Friday: shoppers everywhere, real requests in every region.", run: (s) => s.load(40) },
      { say: (s) => `Ada starts her cart in ${s.place(A)}: sunglasses and a mug.`, run: async (s) => { await s.write(A, add(SUNGLASSES)); await s.write(A, add(MUG)); await s.same(); } },
      { say: (s) => `A cable breaks. ${s.place(B)} is cut off from everybody.`, run: (s) => s.isolate(B) },
      { say: (s) => `In ${s.place(A)} she adds a watch and loafers. Accepted, at local speed.`, run: async (s) => { await s.write(A, add(WATCH)); await s.write(A, add(LOAFERS)); } },
      { say: (s) => `On her phone, in ${s.place(B)}, she adds a candle holder and one more pair of sunglasses. Accepted too.`, run: async (s) => { await s.write(B, add(CANDLE)); await s.write(B, add(SUNGLASSES)); } },
      { say: () => "The carts differ now: see the marked cells. Both sides are right, and neither waits.", run: (s) => s.wait(900) },
      { say: () => "The rush ends, and the cable is repaired.", run: async (s) => { await s.load(0); await s.heal(); await s.agreed(); } },
      { say: (s) => `In agreement ${s.tookWords()}: ${s.cartWords()}. ${s.lostWords()}` },
    ],
  },
  {
    id: "two-cities",
    title: "Two cities",
    about: "The same line changed in two places at once: adds sum up, of two sets the later wins",
    steps: [
      { say: (s) => `A family shares one cart. ${s.place(B)} loses its links; the others do not notice.`, run: (s) => s.isolate(B) },
      { say: (s) => `In ${s.place(A)} somebody adds two mugs; in ${s.place(B)} somebody adds one.`, run: (s) => Promise.all([s.write(A, add(MUG, 2)), s.write(B, add(MUG, 1))]) },
      { say: (s) => `And loafers: ${s.place(A)} sets them to 2 …`, run: (s) => s.write(A, { do: "set", sku: LOAFERS, quantity: 2 }) },
      { say: (s) => `… a moment later ${s.place(B)} sets them to 1. Which is right? It depends on what was meant.`, run: async (s) => { await s.wait(150); await s.write(B, { do: "set", sku: LOAFERS, quantity: 1 }); await s.wait(600); } },
      { say: () => "The links come back.", run: async (s) => { await s.heal(); await s.agreed(); } },
      { say: (s) => `${s.cartWords()}. Adds sum up: three mugs were asked for. A set replaces: the later one stands. ${s.lostWords()}` },
    ],
  },
  {
    id: "remove-against-add",
    title: "Remove against add",
    about: "A removal takes what it had seen, and no more; nothing removed comes back",
    steps: [
      { say: () => `Two tank tops are in the cart, everywhere, and a candle holder.`, run: async (s) => { await s.write(A, add(TANK_TOP, 2)); await s.write(A, add(CANDLE)); await s.same(); } },
      { say: (s) => `${s.place(B)} is cut off.`, run: (s) => s.isolate(B) },
      { say: (s) => `${s.place(A)} removes both lines.`, run: async (s) => { await s.write(A, { do: "remove", sku: TANK_TOP }); await s.write(A, { do: "remove", sku: CANDLE }); } },
      { say: (s) => `${s.place(B)} has not heard of it, and adds one more tank top.`, run: async (s) => { await s.write(B, add(TANK_TOP)); await s.wait(700); } },
      { say: () => "Repaired. What should the cart hold?", run: async (s) => { await s.heal(); await s.agreed(); } },
      { say: (s) => `${s.cartWords()}: the removal took the two that it had seen, and the new one stays. The candle holder does not come back. ${s.lostWords()}` },
    ],
  },
  {
    id: "two-devices",
    title: "Two devices",
    about: "An anonymous cart is folded in twice, in two regions at once, and counts once",
    steps: [
      { say: (s) => `Not logged in, a shopper fills a cart in ${s.place(A)}: two tank tops and a candle holder.`, run: async (s) => { await s.anonymous(A); await s.anonymous(B); await s.write(A, add(TANK_TOP, 2)); await s.write(A, add(CANDLE)); await s.shows(B, CANDLE); } },
      { say: (s) => `${s.place(B)} is cut off, with the anonymous cart on the phone there.`, run: (s) => s.isolate(B) },
      { say: (s) => `She logs in on her laptop in ${s.place(A)}: the anonymous cart is folded into hers. She adds loafers.`, run: async (s) => { await s.logIn(A); await s.write(A, add(LOAFERS)); } },
      { say: (s) => `And on her phone in ${s.place(B)}: folded in there, too. A watch goes into her cart.`, run: async (s) => { await s.logIn(B); await s.write(B, add(WATCH)); await s.wait(500); } },
      { say: () => "The link comes back. Twice two tank tops?", run: async (s) => { await s.heal(); await s.agreed(); } },
      { say: (s) => `${s.cartWords()}. Folded in twice, counted once, and nothing lost. ${s.lostWords()}` },
    ],
  },
  {
    id: "region-dies",
    title: "A region dies",
    about: "Process and disk are lost; it comes back empty and fetches everything from its neighbours",
    steps: [
      { say: (s) => `A cart is filled in ${s.place(C)}, and is known everywhere a moment later.`, run: async (s) => { await s.write(C, add(LOAFERS)); await s.write(C, add(SUNGLASSES, 2)); await s.same(); } },
      { say: (s) => `${s.place(C)} dies: the process, and the disk with it.`, run: (s) => s.killAndWipe(C) },
      { say: (s) => `The others go on selling: a watch in ${s.place(A)}, a mug in ${s.place(B)}.`, run: async (s) => { await s.write(A, add(WATCH)); await s.write(B, add(MUG)); await s.wait(600); } },
      { say: (s) => `${s.place(C)} is started again, with an empty disk. It takes no write before a neighbour has answered.`, run: (s) => s.start(C) },
      { say: () => "It fetches what it lacks, its own lost writes included.", run: async (s) => { await s.agreed(); await s.same(); } },
      { say: (s) => `All there: ${s.cartWords()}.` },
    ],
  },
  {
    id: "relay",
    title: "One link down",
    about: "Two regions that cannot reach each other still meet through a third",
    steps: [
      { say: (s) => `Only the link between ${s.place(A)} and ${s.place(B)} is cut, both ways.`, run: (s) => s.cut(A, B) },
      { say: (s) => `${s.place(A)} adds a watch. Watch it go around.`, run: async (s) => { await s.write(A, add(WATCH)); await s.shows(B, WATCH); } },
      { say: (s) => `It reached ${s.place(B)} through ${s.place(C)}: regions relay what a neighbour still lacks.`, run: async (s) => { await s.write(B, add(CANDLE)); await s.shows(A, CANDLE); } },
      { say: (s) => `And the way back. With the link still cut, all regions agree ${s.tookWords()}.`, run: (s) => s.agreed() },
      { say: () => "Repaired: the direct way is used again.", run: async (s) => { await s.heal(); await s.agreed(); } },
    ],
  },
];

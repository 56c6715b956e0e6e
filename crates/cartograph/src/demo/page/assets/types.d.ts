// What the demo tells the page, and what its parts tell each other. Read by the type checker only; never served.

export interface Line {
  sku: string;
  quantity: number;
}

interface Recorded {
  /** Its number, from 1. */
  n: number;
  /** When it was recorded, in unix milliseconds. */
  t: number;
}

/** A write made through the page, and what became of it. */
export interface Op extends Recorded {
  kind: "op";
  do: "add" | "set" | "remove" | "clear" | "fold";
  sku?: string;
  quantity?: number;
  /** Of a fold: the cart that was folded in. */
  from?: string;
  cart: string;
  region: string;
  /** When it was sent. */
  at: number;
  took_us: number;
  outcome: "acknowledged" | "refused" | "unknown";
  /** The cart as the reply showed it. */
  lines: Line[] | null;
  error: string | null;
  /** Whether its arrivals elsewhere are recorded, for a quarter of an hour. */
  followed: boolean;
}

/** A write was seen in another region: after `not_before`, by `t`. */
export interface Delivery extends Recorded {
  kind: "delivery";
  op: number;
  cart: string;
  to: string;
  lines: Line[] | null;
  took_ms: number;
  not_before: number;
}

/** A watched cart as a region showed it, when that changed. */
export interface CartSeen extends Recorded {
  kind: "cart";
  cart: string;
  region: string;
  lines: Line[] | null;
}

/** Something was done to the demo. */
export interface Fault extends Recorded {
  kind: "fault";
  what: string;
  subject: any;
}

export type Recording = Op | Delivery | CartSeen | Fault;

export interface RegionState {
  name: string;
  id: number;
  place: string | null;
  latitude: number | null;
  longitude: number | null;
  http: string;
  ports: { http: number; grpc: number; resp: number; peer: number; redis: number | null };
  state: string;
  store: { kind: string; state: string };
  answers: boolean;
  ready: boolean | null;
  keys: number | null;
  warnings: string[] | null;
  writes_per_s: number | null;
  reads_per_s: number | null;
  entries_per_s: number | null;
  log_entries: number | null;
  p50_ms: number | null;
  p99_ms: number | null;
}

export interface LinkState {
  from: string;
  to: string;
  up: boolean;
  latency_ms: number;
  jitter_ms: number;
  loss: number;
  usual_ms: number;
  rtt_ms: number | null;
  connected: boolean | null;
  lag_ms: number | null;
  waiting: number | null;
  queue_bytes: number | null;
  error: string | null;
  applied_per_s: number | null;
  apply_ms: number | null;
}

export interface LoadState {
  per_second: Record<string, number>;
  per_second_max: number;
  acknowledged: number;
  refused: number;
  unknown: number;
  shed: number;
  reads: number;
  unchecked: boolean;
  checked: { at: number; lost: number; resurrected: number } | null;
}

export interface State {
  t: number;
  regions: RegionState[];
  links: LinkState[];
  load: LoadState;
}

export interface Difference {
  kind: "value" | "region" | "version_vector" | "bucket";
  key: string;
  field: string;
  values: Record<string, unknown>;
}

/** What `GET /api/converged` answers. */
export interface Converged {
  converged: boolean;
  diff: Difference[];
  truncated: boolean;
}

/** The body of a write. */
export type Write =
  | { do: "add" | "set"; sku: string; quantity: number }
  | { do: "remove"; sku: string }
  | { do: "clear" }
  | { do: "fold"; from: string };

/** Lines by SKU. */
export type Basket = Map<string, number>;

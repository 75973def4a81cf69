/**
 * A set that mostly has one member, kept for each of thousands of jobs. The first member needs no `Set`, which takes
 * some 200 bytes however small it is.
 */
export interface SmallSet<T extends object> {
  one: T | null;
  others: Set<T> | null;
}

export function createSmallSet<T extends object>(): SmallSet<T> {
  return { one: null, others: null };
}

/** Adds a member unless the set has it already. */
export function addTo<T extends object>(members: SmallSet<T>, member: T): void {
  if (members.one === null && members.others?.has(member) !== true) members.one = member;
  else if (members.one !== member) {
    members.others ??= new Set();
    members.others.add(member);
  }
}

/** Removes a member if the set has it. */
export function removeFrom<T extends object>(members: SmallSet<T>, member: T): void {
  if (members.one === member) members.one = null;
  else members.others?.delete(member);
}

export function isEmpty(members: SmallSet<object>): boolean {
  return members.one === null && (members.others === null || members.others.size === 0);
}

/** Calls `visit` with each member. `visit` may add and remove members; those added may or may not be visited. */
export function forEachOf<T extends object>(members: SmallSet<T>, visit: (member: T) => void): void {
  if (members.one !== null) visit(members.one);
  members.others?.forEach(visit);
}

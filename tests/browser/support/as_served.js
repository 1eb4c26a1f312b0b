/** A hook of Node's module loader: the pages find the SDK at `js/` beside them, where a server has it. */

const PAGES = new URL('../../../web/', import.meta.url).href;
const SDK = new URL('../../../sdk/', import.meta.url).href;

/** @type {import('node:module').ResolveHook} */
export function resolve(specifier, context, nextResolve) {
  const isServed = specifier.startsWith('./js/') && context.parentURL?.startsWith(PAGES);
  return nextResolve(isServed ? new URL(specifier, SDK).href : specifier, context);
}

import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Studio } from './studio.ts';

const Context = createContext<Studio | null>(null);

export const StudioProvider = Context.Provider;

/** The stores of the page, for components below `StudioProvider`. */
export function useStudio(): Studio {
  const studio = useContext(Context);
  if (studio === null) throw new Error('There is no StudioProvider above this component');
  return studio;
}

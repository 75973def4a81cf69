import { type DocumentNode, Kind, type TypeNode, visit } from 'graphql';
import { type InlineImages, inlineImage } from '../../images/inline.ts';
import type { Operation } from '../../operations/operations.ts';

export interface OperationWithVariables extends Pick<Operation, 'definition' | 'variables'> {
  readonly known: Pick<Operation['known'], 'document'>;
}

/**
 * Counts the images whose name is the `dataUri` of an image or a mask in the variables of an operation: in an input of an edit or a
 * batch, in an image, or as a text that the document uses for nothing else.
 */
export function imagesIn(
  { definition, variables, known }: OperationWithVariables,
  images: InlineImages,
): number {
  const isImage = (uri: unknown): boolean =>
    typeof uri === 'string' && inlineImage(uri.trim(), images) !== null;
  const counts = (definition.variableDefinitions ?? []).map(({ variable, type }) => {
    const name = variable.name.value;
    const uris = listOf(variables[name]).flatMap(value => urisIn(nameOf(type), value));
    const count = uris.filter(isImage).length;
    const isText = nameOf(type) === 'String';
    return count > 0 && isText && !isUsedAsImage(known.document, name) ? 0 : count;
  });
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Every `dataUri` in a variable of a type; a text may be one. */
function urisIn(type: string, value: unknown): readonly unknown[] {
  switch (type) {
    case 'EditImagesInput':
      return listOf(fieldOf(value, 'edits')).flatMap(edit => urisIn('EditImageInput', edit));
    case 'EditImageInput':
      return [...listOf(fieldOf(value, 'images')), fieldOf(value, 'mask')].flatMap(source =>
        urisIn('EditImageSource', source),
      );
    case 'EditImageSource':
      return [fieldOf(value, 'dataUri')];
    case 'String':
      return [value];
    default:
      return [];
  }
}

/** Where the `dataUri` of an image or a mask is in the argument of `editImage` or `editImages`. */
const IMAGE_PATH = /^(edits\.)?(images|mask)\.dataUri$/;

/** Whether every use of a variable is the `dataUri` of an image or a mask, also in a fragment, whatever operation has that. */
function isUsedAsImage(document: DocumentNode, variable: string): boolean {
  let isElsewhere = false;
  visit(document, {
    VariableDefinition: () => false,
    Variable(node, _key, parent, _path, ancestors) {
      if (node.name.value !== variable) return;
      const fields = [...ancestors, parent].flatMap(above =>
        above !== undefined && 'kind' in above && above.kind === Kind.OBJECT_FIELD ? [above.name.value] : [],
      );
      isElsewhere ||= !IMAGE_PATH.test(fields.join('.'));
    },
  });
  return !isElsewhere;
}

function nameOf(type: TypeNode): string {
  return type.kind === Kind.NAMED_TYPE ? type.name.value : nameOf(type.type);
}

/** As GraphQL coerces it: a value is a list of itself. */
function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;
}

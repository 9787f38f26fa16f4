// Where the planes and the 3D view are, when all are on the screen.

export const RENDER_TILE = 4; // NiiVue's number of the 3D view

const TILE_OF_AXIS = [2, 1, 0]; // NiiVue counts axial, coronal, sagittal
const MAIN = 0.64; // of the width goes to the plane that is worked in
const GAP = 0.004;

// The plane `main` large, the others, and the 3D view if wanted, in a column beside it.
export function tilesOf(main, withRender) {
  const others = [2, 1, 0].filter((axis) => axis !== main).map((axis) => TILE_OF_AXIS[axis]);
  const column = [...others, ...(withRender ? [RENDER_TILE] : [])];
  const height = 1 / column.length;
  const beside = column.map((sliceType, row) => ({
    sliceType,
    position: [MAIN + GAP, row * height + (row ? GAP : 0), 1 - MAIN - GAP * 2, height - GAP * 2],
  }));
  return [{ sliceType: TILE_OF_AXIS[main], position: [0, 0, MAIN, 1] }, ...beside];
}

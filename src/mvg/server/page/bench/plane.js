// One slice of a volume: where its pixels lie in the volume's array.
//
// Arrays are in RAS order, x fastest. Axis 0 cuts sagittal slices, 1 coronal, 2 axial ones.
// A pixel (u, v) of a slice has the position u + v * width; u and v are the two other axes in ascending order.

export const PLANES = ["sagittal", "coronal", "axial"];

export class Plane {
  constructor(dims, axis, index) {
    const [first, second] = [0, 1, 2].filter((other) => other !== axis);
    const strides = [1, dims[0], dims[0] * dims[1]];
    Object.assign(this, { axis, index, width: dims[first], height: dims[second] });
    this.axes = [first, second];
    this.strides = [strides[first], strides[second]];
    this.offset = index * strides[axis];
    this.size = this.width * this.height;
  }

  // The index in the volume's array of a position in the slice.
  at(position) {
    const u = position % this.width;
    return this.offset + u * this.strides[0] + ((position - u) / this.width) * this.strides[1];
  }

  read(data) {
    const slice = new data.constructor(this.size);
    for (let v = 0, position = 0; v < this.height; v++) {
      let source = this.offset + v * this.strides[1];
      for (let u = 0; u < this.width; u++, source += this.strides[0]) slice[position++] = data[source];
    }
    return slice;
  }

  write(data, slice) {
    for (let v = 0, position = 0; v < this.height; v++) {
      let target = this.offset + v * this.strides[1];
      for (let u = 0; u < this.width; u++, target += this.strides[0]) data[target] = slice[position++];
    }
  }

  // The pixel (u, v) of a voxel [x, y, z].
  pixel(voxel) {
    return this.axes.map((axis) => voxel[axis]);
  }

  holds(voxel) {
    return voxel[this.axis] === this.index;
  }
}

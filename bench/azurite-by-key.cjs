// Loaded into Azurite by `python -m bench.scan` and `python -m bench --by-key`. Azurite looks for a blob by its account
// first, which takes 25 ms among 100,000 blobs of one account, and for a row among those of its partition; by its own
// name first, that is next to nothing, as it is on Azure.
const { Collection } = require("lokijs");

for (const method of ["find", "findOne"]) {
  const before = Collection.prototype[method];
  Collection.prototype[method] = function (query, ...rest) {
    const key = ["name", "RowKey"].find((field) => typeof query?.[field] === "string");
    return before.call(this, key ? { [key]: query[key], ...query } : query, ...rest);
  };
}

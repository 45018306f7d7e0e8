exports.name = 'second';
const first = require('./first');
exports.seen = `${first.name} ${first.seen}`;

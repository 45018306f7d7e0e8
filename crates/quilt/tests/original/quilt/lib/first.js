exports.name = 'first';
exports.seen = require('./second').name;

module.exports = 'weft';

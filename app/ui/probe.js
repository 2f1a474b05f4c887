whenShown(() => {});

// Figures follow the theme of the page.
(() => {
  const repaint = () => {
    const template = speedupTemplates[document.documentElement.dataset.theme] ?? speedupTemplates.light;
    for (const figure of document.querySelectorAll(".plotly-graph-div")) Plotly.relayout(figure, { template });
  };
  const watch = () => {
    repaint();
    new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  };
  window.addEventListener("load", watch);
})();

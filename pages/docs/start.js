// Shows the gateway's OpenAPI document in the Swagger UI that is loaded before.
/* global SwaggerUIBundle, SwaggerUIStandalonePreset */
SwaggerUIBundle({
  dom_id: '#swagger-ui',
  url: new URL('openapi.json', document.baseURI).href,
  // The validator is a service elsewhere, which would be sent the document.
  validatorUrl: null,
  deepLinking: true,
  docExpansion: 'list',
  tryItOutEnabled: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  plugins: [SwaggerUIBundle.plugins.DownloadUrl],
  layout: 'StandaloneLayout',
});

"""Google's Gemini API: `generateContent` and its kin, both sides."""

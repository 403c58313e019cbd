"""The frame of every page: page table, navigation, shared sidebar."""

import streamlit as st

from pages import _controls, _server, _ui

st.set_page_config(page_title="Weight Decay Playground", page_icon="⚖️", layout="wide")
_server.warm_up()
_ui.wide()
page = st.navigation(
    [
        st.Page("pages/boundaries.py", title="Boundaries", icon=":material/grid_view:", default=True),
        st.Page("pages/norms.py", title="Norms", icon=":material/show_chart:", url_path="norms"),
        st.Page("pages/prior.py", title="Gaussian prior", icon=":material/adjust:", url_path="prior"),
        st.Page("pages/coupling.py", title="L2 and decay", icon=":material/link_off:", url_path="coupling"),
        st.Page("pages/one_step.py", title="One step", icon=":material/steps:", url_path="one_step"),
        st.Page("pages/what_to_decay.py", title="What to decay", icon=":material/checklist:", url_path="what_to_decay"),
        st.Page("pages/two_decays.py", title="Two decays", icon=":material/trending_down:", url_path="two_decays"),
        st.Page("pages/map.py", title="λ × η map", icon=":material/map:", url_path="map"),
        st.Page("pages/slides.py", title="Slides", icon=":material/slideshow:", url_path="slides"),
    ],
    position="top",
)
_controls.sidebar()
page.run()

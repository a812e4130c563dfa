(function(){var all=function(){return document.querySelectorAll("details")},set=function(open){all().forEach(function(d){d.open=open})},bar=document.getElementById("tools");
bar.hidden=false;bar.children[0].addEventListener("click",function(){set(true)});bar.children[1].addEventListener("click",function(){set(false)});
var open=function(){var at=location.hash.length>1&&document.getElementById(location.hash.slice(1));if(at&&at.tagName==="DETAILS"){at.open=true}};
addEventListener("hashchange",open);open();addEventListener("beforeprint",function(){set(true)})})();
